#include "gateway/meter/call.hh"

namespace qanat::meter {

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::Completed: return "completed";
    case Outcome::ClientGone: return "client_gone";
    case Outcome::UpstreamFailed: return "upstream_failed";
    case Outcome::Refused: return "refused";
    case Outcome::Recovered: return "recovered";
  }
  return "unknown";
}

std::string_view to_string(UsageSource source) {
  switch (source) {
    case UsageSource::None: return "none";
    case UsageSource::Final: return "final";
    case UsageSource::Continuous: return "continuous";
    case UsageSource::Counted: return "counted";
    case UsageSource::Estimated: return "estimated";
  }
  return "unknown";
}

}  // namespace qanat::meter
