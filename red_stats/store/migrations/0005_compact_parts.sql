-- an insert of role record is one file and not two for each column: creating and syncing them took a fifth of it
ALTER TABLE measurements MODIFY SETTING min_bytes_for_wide_part = 67108864;
