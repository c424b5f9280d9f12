CREATE TABLE public.ds_result (_id text PRIMARY KEY, total numeric(10,2), "changedAt" timestamptz, document jsonb);
