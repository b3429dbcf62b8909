function x = chars(x)
%CHARS A text as char, also one that is MATLAB's "string", and the texts of a cell; anything else stays what it is.
  if isa(x, 'string')
    if isscalar(x)
      x = char(x);
    else
      x = cellstr(x);
    end
  elseif iscell(x)
    x = cellfun(@rlay.chars, x, 'UniformOutput', false);
  end
end
