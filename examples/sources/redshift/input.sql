CREATE TABLE orders (id int, city varchar(40), amount numeric(8,2), ordered_at timestamp, details super, internal_note varchar(40));
INSERT INTO orders VALUES (1, 'Ulm', 10.50, '2024-01-31 10:00:00.123456', '{"gift":true}', 'x');
INSERT INTO orders VALUES (2, 'Köln', 0.10, '2024-02-29 23:59:59', NULL, NULL);
INSERT INTO orders VALUES (3, NULL, 99.99, '0044-03-15 10:00:00 BC', '{}', 'y');
