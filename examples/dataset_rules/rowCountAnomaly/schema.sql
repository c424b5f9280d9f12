CREATE TABLE ds_result (id bigint PRIMARY KEY, email text, amount numeric(10,2));
