function text = shown(text)
%SHOWN Text of a peer so that it can be shown: short, on one line, without control characters.
  bytes = double(rlay.utf8(rlay.cut(text, 600)));
  % U+0080 to U+009F, and those that end a line or turn its direction, are written with these bytes.
  pairs = find(bytes(1:end - 1) == 194 & bytes(2:end) < 160);
  triples = find(bytes(1:end - 2) == 226 & (bytes(2:end - 1) == 128 | bytes(2:end - 1) == 129) & bytes(3:end) >= 166);
  bytes([pairs pairs + 1 triples triples + 1 triples + 2]) = 32;
  bytes(bytes < 32 | bytes == 127) = 32;
  text = rlay.utf8(uint8(bytes));
end
