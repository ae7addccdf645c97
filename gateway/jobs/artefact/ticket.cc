#include "gateway/jobs/artefact/ticket.hh"

#include <charconv>

namespace qanat::jobs {
namespace {

constexpr std::string_view kTicketMagic = "qanat-ticket-1\n";
constexpr std::size_t kMaxTicket = 1024;  // bytes

bool take(std::string_view& text, std::string& into) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || end == 0) return false;
  into = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

}  // namespace

std::string serialize(const Ticket& t) {
  return std::string(kTicketMagic) + t.issuer + "\n" + t.verb + "\n" + t.subject + "\n" + t.site + "\n" +
         std::to_string(t.expires_unix_ms) + "\n";
}

Result<Ticket> parse_ticket(std::string_view text) noexcept {
  if (!text.starts_with(kTicketMagic) || text.size() > kMaxTicket) return Errc::BadTicket;
  text.remove_prefix(kTicketMagic.size());
  Ticket t;
  std::string expires;
  if (!take(text, t.issuer) || !take(text, t.verb) || !take(text, t.subject) || !take(text, t.site) ||
      !take(text, expires) || !text.empty())
    return Errc::BadTicket;
  const auto [end, error] =
      std::from_chars(expires.data(), expires.data() + expires.size(), t.expires_unix_ms);
  if (error != std::errc{} || end != expires.data() + expires.size()) return Errc::BadTicket;
  return t;
}

Result<void> judge(const Ticket& t, std::string_view verb, std::string_view subject, std::string_view site,
                   std::int64_t unix_ms) {
  if (t.verb != verb || t.subject != subject || t.site != site || unix_ms >= t.expires_unix_ms)
    return Errc::BadTicket;
  return {};
}

}  // namespace qanat::jobs
