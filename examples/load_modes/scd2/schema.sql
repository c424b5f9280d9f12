CREATE TABLE public.ds_result (
  version bigserial PRIMARY KEY, sku text NOT NULL, price numeric(8, 2),
  valid_from timestamptz NOT NULL, valid_to timestamptz, is_current boolean NOT NULL
);
CREATE UNIQUE INDEX ON public.ds_result (sku) WHERE is_current;
