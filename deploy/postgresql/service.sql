-- The database of one service, and its roles: the owner migrates it, the service works in it and can change no table, and
-- staff read it. Run it for each of order_intake, installer, mailer and api, as a superuser; again whenever you like.
--
--   psql -d postgres -v service=installer -f deploy/postgresql/service.sql
--
-- Nobody can log in before there are passwords: \password sitecrew_installer

\set ON_ERROR_STOP on
\set role sitecrew_ :service

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['sitecrew_owner', 'sitecrew_staff', :'role']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

SELECT format('CREATE DATABASE %I OWNER sitecrew_owner', :'service')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec

REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"service" TO :"role", sitecrew_staff;

\connect :"service"

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO sitecrew_owner;
GRANT USAGE ON SCHEMA public TO :"role", sitecrew_staff;

-- What the owner will create, and what is there.
ALTER DEFAULT PRIVILEGES FOR ROLE sitecrew_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE sitecrew_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE sitecrew_owner IN SCHEMA public GRANT SELECT ON TABLES TO sitecrew_staff;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"role";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO sitecrew_staff;
