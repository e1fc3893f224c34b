-- removing parts one after another: else up to 128 threads, which the engine keeps, each with three open files
ALTER TABLE measurements MODIFY SETTING concurrent_part_removal_threshold = 1000000;
ALTER TABLE alerts MODIFY SETTING concurrent_part_removal_threshold = 1000000;
ALTER TABLE deliveries MODIFY SETTING concurrent_part_removal_threshold = 1000000;
