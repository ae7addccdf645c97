#include "gateway/access/dns/responder.hh"

#include <algorithm>

namespace qanat::dns {
namespace {

constexpr std::uint16_t kIn = 1, kAnyClass = 255;
constexpr std::uint16_t kPointerToQuestion = 0xC000 | kHeaderBytes;
constexpr std::uint16_t kResponse = 0x8000, kAuthoritative = 0x0400, kTruncated = 0x0200;

void header(Writer& out, const Query& query, Rcode rcode, bool authoritative) {
  out.u16(query.id);
  out.u16(static_cast<std::uint16_t>(kResponse | (authoritative ? kAuthoritative : 0) |
                                     (query.recursion_desired ? 0x0100 : 0) |
                                     (static_cast<unsigned>(rcode) & 15)));
  out.u16(query.question.empty() ? 0 : 1);
  for (int i = 0; i < 3; ++i) out.u16(0);
  out.bytes(query.question);
}

void opt(Writer& out, const Query& query, Rcode rcode) {
  if (!query.edns) return;
  out.u8(0);
  out.u16(static_cast<std::uint16_t>(Type::Opt));
  out.u16(kEdnsUdpBytes);
  out.u8(static_cast<std::uint8_t>(static_cast<unsigned>(rcode) >> 4));
  out.u8(0);
  out.u16(0);
  out.u16(0);
  out.put_u16(10, 1);
}

Outcome brief(const Query& query, Rcode rcode, Outcome outcome, std::string& bytes) {
  Writer out(bytes);
  header(out, query, rcode, false);
  opt(out, query, rcode);
  return outcome;
}

void record(Writer& out, Type type, std::uint32_t ttl, std::string_view data) {
  out.u16(static_cast<std::uint16_t>(type));
  out.u16(kIn);
  out.u32(ttl);
  out.u16(static_cast<std::uint16_t>(data.size()));
  out.bytes(data);
}

bool in_zone(const Zone& zone, const Query& query) {
  const std::string_view name = query.name(), apex = zone.apex();
  if (apex.size() == 1 || name == apex) return true;
  return std::any_of(query.labels().begin(), query.labels().end(),
                     [&](std::uint8_t at) { return name.substr(at) == apex; });
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::Answered: return "answered";
    case Outcome::NoData: return "no_data";
    case Outcome::NxDomain: return "nxdomain";
    case Outcome::FormErr: return "formerr";
    case Outcome::NotImp: return "notimp";
    case Outcome::Refused: return "refused";
    case Outcome::BadVers: return "badvers";
    case Outcome::Truncated: return "truncated";
    case Outcome::TooShort: return "too_short";
    case Outcome::IsResponse: return "is_response";
  }
  return "unknown";
}

Outcome respond(const Zone& zone, std::string_view bytes, Over transport, std::string& answer) {
  answer.clear();
  Query query;
  switch (parse_query(bytes, query)) {
    case Reading::TooShort: return Outcome::TooShort;
    case Reading::IsResponse: return Outcome::IsResponse;
    case Reading::Malformed: return brief(query, Rcode::FormErr, Outcome::FormErr, answer);
    case Reading::NotQuery: return brief(query, Rcode::NotImp, Outcome::NotImp, answer);
    case Reading::BadVersion: return brief(query, Rcode::BadVers, Outcome::BadVers, answer);
    case Reading::Good: break;
  }
  if ((query.qclass != kIn && query.qclass != kAnyClass) || !in_zone(zone, query))
    return brief(query, Rcode::Refused, Outcome::Refused, answer);

  const std::vector<Record>* records = zone.find(query.name());
  Writer out(answer);
  header(out, query, records != nullptr ? Rcode::NoError : Rcode::NxDomain, true);
  std::uint16_t answers = 0;
  if (records != nullptr) {
    if (query.type == Type::Any && !records->empty()) {  // RFC 8482 §4.2
      out.u16(kPointerToQuestion);
      record(out, Type::Hinfo, zone.ttl().positive_s, std::string_view("\7RFC8482\0", 9));
      ++answers;
    } else {
      for (const Record& r : *records) {
        if (r.type != query.type) continue;
        out.u16(kPointerToQuestion);
        record(out, r.type, zone.ttl().positive_s, r.data);
        ++answers;
      }
    }
  }
  out.put_u16(6, answers);
  if (answers == 0) {  // RFC 2308 §3
    out.bytes(zone.apex());
    record(out, Type::Soa, zone.ttl().negative_s, zone.soa());
    out.put_u16(8, 1);
  }
  opt(out, query, Rcode::NoError);
  const std::size_t most =
      transport == Over::Tcp ? kTcpBytes : std::min<std::size_t>(query.udp_bytes, kEdnsUdpBytes);
  if (out.size() > most) {
    Writer again(answer);
    header(again, query, Rcode::NoError, true);
    answer[2] = static_cast<char>(static_cast<unsigned char>(answer[2]) | kTruncated >> 8);
    opt(again, query, Rcode::NoError);
    return Outcome::Truncated;
  }
  return answers > 0 ? Outcome::Answered : records != nullptr ? Outcome::NoData : Outcome::NxDomain;
}

}  // namespace qanat::dns
