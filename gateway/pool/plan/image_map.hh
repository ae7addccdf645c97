// ImageMap: which container image serves a model on a card, for a service and a protocol, and what was prepared in its
// stead where it does not fit: a vendor's own build, another precision, another engine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qanat::pool {

struct Image {
  std::string name;                  // "vllm/vllm-openai:v0.10.1"
  std::string service, protocol;     // "infer", "openai"
  std::vector<std::string> vendors;  // of cards it runs on; lower case
  std::vector<std::string> dtypes;   // it can serve
  double min_memory_gb = 0;          // of one card
  std::vector<std::string> models;   // name patterns, "*" at the end matches any rest
  double gb = 0;                     // compressed, to be staged
  std::string substitute_for;        // the image it stands in for; empty: a first choice
  std::string note;
};

struct ImageMap {
  std::vector<Image> images;
};
std::vector<std::string> add_images(ImageMap& map, std::string_view file, std::string_view toml);
const ImageMap& built_in_images();

struct ImageWish {
  std::string model, dtype, vendor;
  double card_memory_gb = 0;
  std::string service = "infer", protocol = "openai";
};
struct ImageAnswer {
  const Image* image = nullptr;         // what to stage; null: nothing prepared
  const Image* first_choice = nullptr;  // when `image` is a substitute: what did not fit
  std::string why;
};
// The first image that fits, in the file's order: first choices before substitutes.
ImageAnswer find_image(const ImageMap& map, const ImageWish& wish);

}  // namespace qanat::pool
