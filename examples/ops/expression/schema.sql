CREATE TABLE public.ds_result (id bigint PRIMARY KEY, price float8, quantity int, total float8);
