UPDATE orders SET amount = 11.00 WHERE id = 1;
DELETE FROM orders WHERE id = 2;
INSERT INTO orders VALUES (4, 'Bonn', 7.25);
UPDATE orders SET id = 5 WHERE id = 3;
