// Ticket: a gateway's signed word to a site: what may be done there, with what, until when. Sites take artefacts, and
// give them, to whoever shows one; it is bound to the site, so that no other site can play it again.
//
// Text: "qanat-ticket-1\n" ISSUER "\n" VERB "\n" SUBJECT "\n" SITE "\n" EXPIRES_UNIX_MS "\n"
// In the header x-qanat-ticket: base64url(text) "." signature.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/jobs/errc.hh"

namespace qanat::jobs {

inline constexpr std::string_view kTicketHeader = "x-qanat-ticket";

struct Ticket {
  std::string issuer;   // a gateway
  std::string verb;     // "put", "get", "delete", "use", "revoke", "register", "switch", "lease"
  std::string subject;  // an artefact's digest, a contract's id, a model's name, a placeholder's id
  std::string site;     // the pool's id or the gateway's name that it is for
  std::int64_t expires_unix_ms = 0;
};

std::string serialize(const Ticket& ticket);
// Total on any bytes.
Result<Ticket> parse_ticket(std::string_view text) noexcept;
// Whether it says this, now; who signed it has been looked at.
Result<void> judge(const Ticket& ticket, std::string_view verb, std::string_view subject,
                   std::string_view site, std::int64_t unix_ms);

}  // namespace qanat::jobs
