//! What both HTTPS servers of the sandbox share: serving a router over TLS, the `Date` header, a clean end.

use axum::Router;
use axum::http::header::DATE;
use axum::http::{HeaderValue, Response};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clock::CloudClock;
use super::tls::TlsListener;

/// Serves until `stop` turns true or its sender is gone; open requests are answered first.
pub(crate) fn serve(
    listener: TlsListener,
    router: Router,
    clock: CloudClock,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let dated = router.layer(axum::middleware::map_response(move |response| {
        let clock = clock.clone();
        async move { with_date(response, &clock) }
    }));
    tokio::spawn(async move {
        // Serving ends only by the signal; this listener's accept has no error to give.
        let _ = axum::serve(listener, dated)
            .with_graceful_shutdown(stopped(stop))
            .await;
    })
}

/// Resolves when the cloud stops.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the cloud was dropped, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn with_date<B>(mut response: Response<B>, clock: &CloudClock) -> Response<B> {
    if let Some(date) = clock
        .http_date()
        .and_then(|date| HeaderValue::from_str(&date).ok())
    {
        response.headers_mut().insert(DATE, date);
    }
    response
}
