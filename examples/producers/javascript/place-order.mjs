#!/usr/bin/env node
// Places an order with Sitecrew, through amqplib (`npm install amqplib`).
//
//     place-order.mjs ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]
//
// AMQP_URL in the environment is the broker's URL: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded, so the virtual
// host `/` is %2F. Exits with 0 once the broker has confirmed the order, with 1 if something must be fixed first, and with
// 75 if the outcome is unknown: then run it again. Sending the same order again changes nothing.
import { createHash } from "node:crypto";
import { connect } from "amqplib";

// Your program's name as a URI reference. It identifies events together with their id, so never change it.
const SOURCE = "/shop";
const PATIENCE = 30; // seconds to wait for the confirm

const NO_QUEUE = "no queue takes orders there. Run `sitecrew topology declare`, then send it again.";
const CHECK =
  "Check user, password and virtual host in AMQP_URL, what the user may do, and whether Sitecrew is set up there.";
const AGAIN = "Send the same order again: if it was placed, that changes nothing.";

// The event. Its id is derived from its content: the same order is the same event whenever it is sent.
function orderPlaced(orderId, siteType, domain, name, email, title) {
  const data = { order_id: orderId, site_type: siteType, domain, customer: { name, email } };
  if (title) data.blog_name = title;
  const hash = createHash("sha256").update(JSON.stringify(data)).digest("hex");
  return {
    specversion: "1.0",
    id: `${orderId}-placed-${hash.slice(0, 16)}`,
    source: SOURCE,
    type: "sitecrew.order.placed.v1",
    subject: orderId,
    data,
  };
}

// Resolves to the broker's answer: "confirmed" or "returned". Rejects if it refuses or does not answer.
async function publish(url, event) {
  const connection = await connect(url, { timeout: 10_000 });
  try {
    const channel = await connection.createConfirmChannel();
    return await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error(`no confirm within ${PATIENCE} seconds`)), PATIENCE * 1000).unref();
      connection.on("error", reject);
      channel.on("error", reject); // here the broker says why it closes the channel
      let outcome = "confirmed";
      channel.on("return", () => { outcome = "returned"; }); // comes before the confirm
      channel.publish("orders", "order.placed.v1", Buffer.from(JSON.stringify(event)), {
        mandatory: true, // return it if no queue takes it
        persistent: true,
        contentType: "application/cloudevents+json",
        messageId: event.id,
        correlationId: event.subject,
        type: event.type,
      }, (error) => (error ? reject(error) : resolve(outcome)));
    });
  } finally {
    connection.close().catch(() => {}); // not waited for: it may be dead
  }
}

// Whether the broker has refused. While connecting, amqplib provides no code, only the text that it read.
function isRefusal({ code, message }) {
  return [403, 404].includes(code) || /terminated by server|ConnectionClose/.test(message);
}

// The exit code and a message.
async function place(url, event) {
  try {
    return (await publish(url, event)) === "confirmed"
      ? [0, "placed: the broker has it."]
      : [1, `not placed: ${NO_QUEUE}`];
  } catch (error) {
    return isRefusal(error)
      ? [1, `not placed: the broker refuses: ${error.message}. ${CHECK}`]
      : [75, `perhaps not placed: ${error.message}. ${AGAIN}`];
  }
}

const order = process.argv.slice(2);
const url = process.env.AMQP_URL ?? "";
if (order.length < 5 || order.length > 6) {
  console.error("usage: place-order.mjs ORDER_ID SITE_TYPE DOMAIN NAME EMAIL [TITLE]");
  process.exit(2);
}
if (!URL.canParse(url) || !/^amqps?:/.test(url)) {
  // Do not print it: it contains the password.
  console.error("AMQP_URL must be the broker's address: amqps://USER:PASSWORD@HOST/VHOST, percent-encoded.");
  process.exit(1);
}
const [code, outcome] = await place(url, orderPlaced(...order));
(code ? console.error : console.log)(`Order ${order[0]} is ${outcome}`);
process.exit(code);
