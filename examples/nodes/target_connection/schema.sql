CREATE TABLE public.ds_result (id integer, customer text, amount numeric(10, 2))
