CREATE TABLE customers (id INT, name VARCHAR, updated_at TIMESTAMP_NTZ);
INSERT INTO customers VALUES (1, 'Ada', '2024-01-01 10:00:00.5'), (2, 'Bo', '2024-01-02 11:00:00');
