-- What a connector says of its alerts counts from now on only where it says so. Those that had something of their own keep
-- it, and are told of the same as before: what the appliance tells, as far as it concerns a partner.
INSERT INTO setting_values (scope, owner, key, value)
    SELECT DISTINCT 'connector', owner, 'alerts', 'own' FROM setting_values
    WHERE scope = 'connector' AND key IN ('alert_to', 'alert_not_seen_days') AND value <> '';
INSERT INTO setting_values (scope, owner, key, value)
    SELECT 'connector', own.owner, 'alert_on', TRIM(REPLACE(REPLACE(REPLACE(REPLACE(REPLACE(',' || REPLACE(REPLACE(REPLACE(
        told.value, CHAR(10), ','), ' ', ''), ',', ',,') || ',', ',disk_low,', ''), ',listener_not_bound,', ''), ',certificate_expiring,', ''),
        ',certificate_failed,', ''), ',backup_failed,', ''), ',')
    FROM setting_values own JOIN setting_values told ON told.scope = 'settings' AND told.key = 'alert_on'
    WHERE own.scope = 'connector' AND own.key = 'alerts';
UPDATE setting_values SET value = REPLACE(value, ',,', ',') WHERE scope = 'connector' AND key = 'alert_on';
