CREATE TABLE public.ds_result (sku text PRIMARY KEY, price numeric(8, 2));
INSERT INTO public.ds_result VALUES ('Z9', 9.00);
