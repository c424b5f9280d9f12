CREATE TABLE public.ds_result (id bigint, customer text, amount numeric(12, 2), total numeric(12, 2));
