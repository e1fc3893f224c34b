// Takes webhooks at PORT and prints each alert once. RED_WEBHOOK_SECRET is the subscription's secret.
use axum::{body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post, Router};
use serde_json::Value;
use standardwebhooks::Webhook;
use std::{collections::HashSet, env, sync::Arc, sync::Mutex};

struct Receiver {
    webhook: Webhook,
    seen: Mutex<HashSet<String>>, // in a service: a unique column of the database that the work writes to
}

fn act(event: Value) {
    let data = &event["data"];
    let percent = |name: &str| 100.0 * data[name].as_f64().unwrap_or(0.0);
    match event["type"].as_str() {
        Some("red.alert") => {
            let image = data["image_id"].as_str().unwrap_or_default();
            println!("alert {}: image {image} has {:.2}% red", data["seq"], percent("red"))
        }
        Some("red.digest") => {
            println!("alerts {} to {}: up to {:.2}% red", data["first_seq"], data["last_seq"], percent("max_red"))
        }
        _ => {} // of a later version
    }
}

async fn take(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if receiver.webhook.verify(&body, &headers).is_err() { // the bytes as they came
        return StatusCode::BAD_REQUEST;
    }
    let id = headers["webhook-id"].to_str().unwrap_or_default().to_owned();
    if receiver.seen.lock().unwrap().insert(id) {
        tokio::task::spawn_blocking(move || act(serde_json::from_slice(&body).unwrap_or_default())); // after the answer
    }
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() {
    let webhook = Webhook::new(&env::var("RED_WEBHOOK_SECRET").expect("RED_WEBHOOK_SECRET")).expect("a whsec_ secret");
    let receiver = Arc::new(Receiver { webhook, seen: Mutex::default() });
    let port = env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    axum::serve(listener, Router::new().route("/", post(take)).with_state(receiver)).await.unwrap();
}
