CREATE TABLE public.ds_result (id bigint PRIMARY KEY, city text, amount numeric(12, 2), items jsonb, updated_at timestamptz);
