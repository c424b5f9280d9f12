CREATE TABLE public.ds_result (sku text PRIMARY KEY, price numeric(8, 2));
INSERT INTO public.ds_result VALUES ('Z9', 9.00);
CREATE INDEX ds_result_price ON public.ds_result (price);
