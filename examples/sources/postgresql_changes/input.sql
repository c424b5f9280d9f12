CREATE TABLE orders (id int PRIMARY KEY, city text, amount numeric(8,2));
INSERT INTO orders VALUES (1, 'Ulm', 10.50), (2, 'Köln', 0.10), (3, NULL, 99.99);
ANALYZE orders;
