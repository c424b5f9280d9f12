CREATE TABLE orders (id BIGINT, city VARCHAR, amount DECIMAL(8, 2), paid BOOLEAN);
INSERT INTO orders VALUES (1, 'Ulm', 19.90, TRUE), (2, 'Bonn', 5.00, FALSE), (3, 'Ulm', 0.01, TRUE);
