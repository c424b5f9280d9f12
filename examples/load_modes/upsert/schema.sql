CREATE TABLE public.ds_result (sku text PRIMARY KEY, price numeric(8, 2), note text DEFAULT 'made by a load');
INSERT INTO public.ds_result VALUES ('A1', 1.00, 'written by hand');
