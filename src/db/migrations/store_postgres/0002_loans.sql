-- What is needed whole for a while though it may not be kept so (store/record.h): the input of a job
-- that waits or runs, then its answer.
ALTER TABLE records ADD COLUMN loan_type text;
ALTER TABLE records ADD COLUMN loan_header_size bigint NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN loan bytea;
CREATE INDEX records_on_loan ON records (done_us) WHERE loan IS NOT NULL;
