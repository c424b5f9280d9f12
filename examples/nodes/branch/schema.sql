CREATE TABLE public.ds_result (id bigint, amount numeric(12, 2));
CREATE TABLE public.ds_small (id bigint, amount numeric(12, 2));
CREATE TABLE public.ds_unknown (id bigint, amount numeric(12, 2));
