CREATE TABLE orders (id int, city text, amount numeric(8,2), internal_note text);
INSERT INTO orders VALUES (1, 'Ulm', 10.50, 'x'), (2, 'Köln', 0.10, NULL), (3, NULL, 99.99, 'y');
ANALYZE orders;
