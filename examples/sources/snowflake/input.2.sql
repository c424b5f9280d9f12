INSERT INTO customers VALUES (3, 'Cy', '2024-01-03 12:00:00');
UPDATE customers SET name = 'Bob', updated_at = '2024-01-03 12:00:00' WHERE id = 2;
