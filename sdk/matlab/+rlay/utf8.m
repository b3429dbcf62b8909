function out = utf8(in)
%UTF8 The bytes of a text, or the text of bytes. Octave's texts are bytes of UTF-8 already, MATLAB's are UTF-16.
  persistent isOctave
  if isempty(isOctave)
    isOctave = exist('OCTAVE_VERSION', 'builtin') ~= 0;
  end
  if ischar(in)
    if isOctave
      out = uint8(in(:).');
    else
      out = unicode2native(in, 'UTF-8');
    end
    if ~isUtf8(out)
      error('rlay:usage', 'a text that is not UTF-8; send rlay.Bytes');
    end
  else
    if ~isUtf8(in)
      error('rlay:protocol', 'a text that is not UTF-8');
    end
    if isOctave
      out = char(in);
    else
      out = native2unicode(in, 'UTF-8');
    end
  end
  if isempty(out)
    out = out(zeros(1, 0));
  end
end

function ok = isUtf8(b)
  ok = all(b < 128);
  if ok
    return
  end
  size2 = b >= 194 & b <= 223;
  size3 = b >= 224 & b <= 239;
  size4 = b >= 240 & b <= 244;
  follows = b >= 128 & b <= 191;
  next = [b(2:end) 0];
  % Surrogates, overlong forms, and what is beyond U+10FFFF.
  wrong = (b == 224 & next < 160) | (b == 237 & next > 159) | (b == 240 & next < 144) | (b == 244 & next > 143);
  expected = behind(size2 | size3 | size4, 1) | behind(size3 | size4, 2) | behind(size4, 3);
  known = b < 128 | size2 | size3 | size4 | follows;
  ok = all(known) && ~any(wrong) && isequal(expected, [follows false(1, 3)]);
end

function mask = behind(leads, n)
  mask = [false(1, n) leads false(1, 3 - n)];
end
