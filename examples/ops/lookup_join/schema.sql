CREATE TABLE public.ds_customers (code text PRIMARY KEY, name text, segment int);
INSERT INTO public.ds_customers VALUES ('c1', 'Ann', 3), ('c2', 'Böhm, "GmbH"', NULL), ('c3', 'Cy', 1);
CREATE TABLE public.ds_result (id bigint PRIMARY KEY, customer text, customer_name text, segment int);
