CREATE TABLE public.ds_result (id bigint, customer text);
CREATE TABLE public.ds_all (id bigint, customer text, day date, amount numeric(12, 2));
