//! Entries to requests.

use reqwest::header::HeaderMap;

use super::{Form, Settings};
use crate::{
    delivery::{Entry, Probing, Refusal, Sending, Sent, Sink},
    sinks::http::HttpClient,
};

/// The sink.
#[derive(Debug)]
pub struct Webhook {
    client: HttpClient,
    form: Form,
}

impl Webhook {
    pub fn new(Settings { target, form }: Settings) -> Webhook {
        Webhook { client: HttpClient::new(target), form }
    }

    async fn post(&self, entries: &[Entry]) -> Result<(), Refusal> {
        let (url, body) = (self.client.url().clone(), self.form.body(entries));
        self.client.post(url, self.form.content_type(), HeaderMap::new(), body).await?.judge()
    }
}

impl Sink for Webhook {
    fn send<'s>(&'s self, _tenant: &'s str, entries: &'s [Entry]) -> Sending<'s> {
        let at_once = if self.form.is_batch() { entries.len().max(1) } else { 1 };
        Box::pin(async move {
            let mut taken = 0;
            for part in entries.chunks(at_once) {
                match self.post(part).await {
                    Ok(()) => taken += part.len(),
                    Err(refusal) => return Sent { taken, refusal: Some(refusal) },
                }
            }
            Sent { taken, refusal: None }
        })
    }

    fn sends_together(&self) -> bool {
        self.form.is_batch()
    }

    fn probe<'s>(&'s self, _tenant: &'s str) -> Probing<'s> {
        Box::pin(self.client.probe())
    }
}
