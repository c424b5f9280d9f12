CREATE TABLE orders (id int PRIMARY KEY, city varchar(40), amount decimal(8,2), shipped date NOT NULL, paid tinyint(1));
INSERT INTO orders VALUES (1, 'Ulm', 10.50, '2024-02-29', 1), (2, 'Köln', 0.10, '0000-00-00', 1);
INSERT INTO orders VALUES (3, 'Bonn', 99.99, '2024-03-01', 0);
