CREATE TABLE public.ds_result (id bigint, city text, day date, amount numeric(10, 2));
