CREATE TABLE public.ds_result (id bigint PRIMARY KEY, customer text, amount numeric(10, 2));
INSERT INTO public.ds_result VALUES (1, 'Ann', 1.00);
CREATE MATERIALIZED VIEW public.ds_totals AS
  SELECT customer, sum(amount) AS total FROM public.ds_result GROUP BY customer;
