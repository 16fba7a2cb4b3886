-- What is needed whole for a while though it may not be kept so (store/record.h): the input of a job
-- that waits or runs, then its answer.
ALTER TABLE records ADD COLUMN loan_type TEXT;
ALTER TABLE records ADD COLUMN loan_header_size INTEGER;
ALTER TABLE records ADD COLUMN loan BLOB;
CREATE INDEX records_on_loan ON records (done_us) WHERE loan IS NOT NULL;
