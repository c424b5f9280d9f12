CREATE TABLE public.ds_result (id integer, line integer, sku text, quantity integer)
