#!/bin/sh
# Places an order with Sitecrew, through the HTTP API of RabbitMQ's management plugin, with curl and jq. The API is
# meant for occasional messages; a shop with many orders should use AMQP.
#
#     place-order.sh ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]
#
# MANAGEMENT_URL in the environment is the API's URL: https://HOST:15671. VHOST is the virtual host, percent-encoded;
# default: %2F. Put user and password into ~/.netrc, or the file that NETRC names, readable only by you:
#
#     machine HOST login USER password PASSWORD
#
# Exits with 0 once the broker has confirmed the order, with 1 if something must be fixed first, and with 75 if the outcome
# is unknown: then run it again. Sending the same order again changes nothing.
set -eu

if [ $# -lt 5 ] || [ $# -gt 6 ]; then
    echo "usage: place-order.sh ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]" >&2
    exit 2
fi
for tool in curl jq sha256sum; do
    command -v "$tool" >/dev/null || {
        echo "$tool is needed: install it." >&2
        exit 1
    }
done
: "${MANAGEMENT_URL:?must be the address of the management API, like https://rabbit.example:15671}"

NO_QUEUE='no queue takes orders there. Run `sitecrew topology declare`, then send it again.'
CHECK='Check user, password and VHOST, what the user may do, and whether Sitecrew is set up there.'
AGAIN='Send the same order again: if it was placed, that changes nothing.'

order_data() {
    jq --null-input --compact-output --arg order_id "$1" --arg site_type "$2" --arg domain "$3" --arg name "$4" \
        --arg email "$5" --arg title "${6:-}" \
        '{$order_id, $site_type, $domain, customer: {$name, $email}}
            + if $title == "" then {} else {blog_name: $title} end'
}

# The request to the API. The event's id is derived from its content: the same order is the same event whenever it is
# sent. `source` is your program's name as a URI reference. Together they identify events, so never change it.
message() {
    data=$(order_data "$@")
    hash=$(printf %s "$data" | sha256sum | cut -c 1-16)
    jq --null-input --arg id "$1-placed-$hash" --arg order_id "$1" --argjson data "$data" '
        {
            specversion: "1.0",
            $id,
            source: "/shop",
            type: "sitecrew.order.placed.v1",
            subject: $order_id,
            $data
        } | {
            routing_key: "order.placed.v1",
            properties: {
                content_type: "application/cloudevents+json",
                delivery_mode: 2,
                message_id: .id,
                correlation_id: .subject,
                type: .type
            },
            payload: tojson,
            payload_encoding: "string"
        }'
}

# The API's response, a space, and the HTTP status, which is 000 if nothing answers; curl prints the reason to stderr.
publish() {
    curl --silent --show-error --connect-timeout 10 --max-time 30 --netrc-file "${NETRC:-$HOME/.netrc}" \
        --header 'content-type: application/json' --data-binary @- --write-out ' %{http_code}' \
        "${MANAGEMENT_URL%/}/api/exchanges/${VHOST:-%2F}/orders/publish" || :
}

placed() {
    echo "Order $order_id is placed: the broker has it."
    exit 0
}

not_placed() {
    echo "Order $order_id is not placed: $1" >&2
    exit 1
}

perhaps() {
    echo "Order $order_id is perhaps not placed: $1. $AGAIN" >&2
    exit 75
}

order_id=$1
answer=$(message "$@" | publish)
said=${answer% *}
case $answer in
    '{"routed":true} 200') placed ;;
    *' 200') not_placed "$NO_QUEUE" ;;
    *'"rejected '*' 400') perhaps 'the broker could not store it (nack)' ;;
    *' 4'??) not_placed "the broker refuses: $said. $CHECK" ;;
    *) perhaps "the API gave no answer that makes sense (HTTP ${answer##* })" ;;
esac
