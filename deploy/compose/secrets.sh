#!/bin/sh
# What each part of compose.yaml must know and no other may: keys, passwords, and the URLs with its own users of RabbitMQ and
# PostgreSQL. Each has a volume of its own below /secrets. What is there stays as it is.
set -eu
umask 077
cd /secrets

random() { python3 -c 'import secrets; print(secrets.token_urlsafe(32), end="")'; }

sitecrew topology definitions --passwords passwords >passwords/.definitions
install -m 644 passwords/.definitions broker/definitions.json # with hashes, for RabbitMQ's own user

for role in owner staff order_intake installer mailer api; do
    [ -s "passwords/sitecrew_$role" ] || random >"passwords/sitecrew_$role"
done

amqp_url() { echo "amqp://$1:$(cat "passwords/$1")@rabbitmq:5672/sitecrew"; }
store_url() { echo "postgresql://sitecrew_$1:$(cat "passwords/sitecrew_$1")@postgres/$2"; }

for service in order-intake installer mailer api; do
    database=$(echo "$service" | tr - _)
    amqp_url "sitecrew-$service" >"$service/amqp-url"
    store_url "$database" "$database" >"$service/store-url"
    store_url owner "$database" >"migrate/$database"
    store_url staff "$database" >"staff/$database"
done
amqp_url sitecrew-staff >staff/amqp-url
store_url api api >staff/api # where the command adds staff

[ -s api/secret-key ] || random >api/secret-key
[ -s public/mailer.pub ] || sitecrew keys generate --private-file mailer/private-key --public-file public/mailer.pub
