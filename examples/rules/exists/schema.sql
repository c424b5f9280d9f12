CREATE TABLE public.ds_customers (code text PRIMARY KEY);
INSERT INTO public.ds_customers VALUES ('c1'), ('c2');
CREATE TABLE public.ds_result (id bigint PRIMARY KEY, name text);
