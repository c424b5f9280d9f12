CREATE SCHEMA sales;
CREATE TABLE sales.orders (id integer PRIMARY KEY, customer text, amount numeric(10, 2));
INSERT INTO sales.orders VALUES (1, 'Ann', 5.00), (9, 'Zoe', 7.25)
