#include "gateway/relay/errc.hh"

namespace qanat::relay {

std::string_view type_of(Errc code) {
  switch (status_of(code)) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return code == Errc::BudgetExceeded ? "insufficient_quota" : "rate_limit_error";
    case 502: return "upstream_error";
    case 503: return "unavailable_error";
    case 500: return "server_error";
    default: return "invalid_request_error";
  }
}

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::NotJson: return "invalid_json";
    case Errc::MissingField: return "missing_required_parameter";
    case Errc::WrongType: return "invalid_type";
    case Errc::OutOfRange: return "invalid_value";
    case Errc::DuplicateField: return "duplicate_parameter";
    case Errc::Unsupported: return "unsupported_parameter";
    case Errc::BadCUrl: return "invalid_c_url";
    case Errc::BadKey: return "invalid_api_key";
    case Errc::OutOfScope: return "scope_exceeded";
    case Errc::ContentRefused: return "content_refused";
    case Errc::FilterFailed: return "content_filter_failed";
    case Errc::ModelNotFound: return "model_not_found";
    case Errc::NothingFits: return "nothing_fits";
    case Errc::NoPoolReady: return "no_pool_ready";
    case Errc::PoolStarting: return "pool_starting";
    case Errc::TooManyCalls: return "rate_limit_exceeded";
    case Errc::GatewayFull: return "gateway_full";
    case Errc::BudgetExceeded: return "insufficient_quota";
    case Errc::PoolRefused: return "pool_refused";
    case Errc::PoolFailed: return "pool_failed";
    case Errc::NotFound: return "not_found";
    case Errc::RepeatUnderWay: return "idempotency_key_in_use";
    case Errc::RepeatAnswered: return "idempotency_key_answered";
    case Errc::RepeatDiffers: return "idempotency_key_reused";
    case Errc::LedgerAway: return "ledger_away";
    case Errc::CallLost: return "internal_error";
  }
  return "unknown";
}

int status_of(Errc code) {
  switch (code) {
    case Errc::BadKey: return 401;
    case Errc::OutOfScope:
    case Errc::ContentRefused: return 403;
    case Errc::ModelNotFound:
    case Errc::NotFound: return 404;
    case Errc::RepeatUnderWay:
    case Errc::RepeatAnswered: return 409;
    case Errc::RepeatDiffers: return 422;
    case Errc::NothingFits:
    case Errc::NoPoolReady:
    case Errc::PoolStarting:
    case Errc::GatewayFull:
    case Errc::FilterFailed:
    case Errc::LedgerAway: return 503;
    case Errc::TooManyCalls:
    case Errc::BudgetExceeded: return 429;
    case Errc::PoolRefused:
    case Errc::PoolFailed: return 502;
    case Errc::CallLost: return 500;
    default: return 400;
  }
}

}  // namespace qanat::relay
