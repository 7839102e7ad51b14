//! Routes as `/openapi.json` writes them, for metrics and logs.

/// The name of a route as the world writes it, from what axum matched.
pub(super) fn route_name(matched: &str) -> &'static str {
    const NAMES: &[(&str, &str)] = &[
        ("/v1/suppressions/{*address}", "/v1/suppressions/{address}"),
        ("/v1/addresses/{*address}", "/v1/addresses/{address}"),
        ("/v1/suppressions", "/v1/suppressions"),
        ("/v1/suppressions:check", "/v1/suppressions:check"),
        ("/v1/suppressions:import", "/v1/suppressions:import"),
        ("/v1/suppressions:export", "/v1/suppressions:export"),
        ("/v1/events", "/v1/events"),
        ("/v1/verp", "/v1/verp"),
        ("/v1/health", "/v1/health"),
        ("/v1/guards", "/v1/guards"),
        ("/v1/shadow", "/v1/shadow"),
        ("/v1/messages", "/v1/messages"),
        ("/v1/acts", "/v1/acts"),
        ("/v1/clock:accept", "/v1/clock:accept"),
        ("/livez", "/livez"),
        ("/readyz", "/readyz"),
        ("/metrics", "/metrics"),
        ("/openapi.json", "/openapi.json"),
        ("/", "/"),
        ("/address", "/address"),
        ("/address/release", "/address/release"),
        ("/suppressions", "/suppressions"),
        ("/health", "/health"),
        ("/style.css", "/style.css"),
        ("/icon.svg", "/icon.svg"),
    ];
    NAMES.iter().find(|(axum, _)| *axum == matched).map_or("other", |(_, name)| name)
}
