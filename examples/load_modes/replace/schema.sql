CREATE TABLE public.ds_result (sku text PRIMARY KEY, price numeric(8, 2));
INSERT INTO public.ds_result VALUES ('Z9', 9.00);
CREATE VIEW public.ds_cheap AS SELECT sku FROM public.ds_result WHERE price < 3;
