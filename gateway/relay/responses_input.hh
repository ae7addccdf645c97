// ResponsesInput: the items of a request to /v1/responses as the messages of a chat.
#pragma once

#include <optional>
#include <string>

#include "gateway/relay/body_reader.hh"

namespace qanat::relay {

class ResponsesInput : public BodyReader {
 public:
  // False: problem() says where. `instructions` may be missing, `input` may not.
  bool read(const std::optional<simdjson::dom::element>& instructions,
            const std::optional<simdjson::dom::element>& input);
  const std::string& messages() const { return messages_; }  // "{…},{…}"

 private:
  void say(const std::string& message);
  void flush();
  bool item_of(simdjson::dom::object item, const std::string& where);
  bool message(simdjson::dom::object item, const std::string& where);
  bool call(simdjson::dom::object item, const std::string& where);
  bool output(simdjson::dom::object item, const std::string& where);
  bool content_of(simdjson::dom::element value, const std::string& where, std::string& out);

  std::string messages_;
  std::optional<std::string> assistant_;  // content of the message that is being put together,
  std::string calls_;                     // and its calls
};

}  // namespace qanat::relay
