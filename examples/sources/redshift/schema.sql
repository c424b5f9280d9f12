CREATE TABLE public.ds_result (id int, city text, amount numeric(8,2), ordered_at timestamp, details text)
