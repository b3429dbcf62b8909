function text = cut(text, most)
%CUT A text in at most so many bytes, with a mark where it was cut. What is no UTF-8 becomes question marks.
  if isempty(text)
    return
  elseif nargin < 2
    most = 16384;
  end
  try
    bytes = rlay.utf8(text);
  catch
    text(double(text) > 127) = '?';
    bytes = rlay.utf8(text);
  end
  if numel(bytes) > most
    last = most - 3;
    while bytes(last + 1) >= 128 && bytes(last + 1) < 192
      last = last - 1;
    end
    text = [rlay.utf8(bytes(1:last)) '...'];
  end
end
