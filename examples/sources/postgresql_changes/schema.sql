CREATE TABLE public.ds_result (id integer PRIMARY KEY, city text, amount numeric(8,2), changed_at timestamptz);
