function err = failure(code, message)
%FAILURE What an error is here: a struct of the identifier and the message, for code as in section 11 of docs/wire.md.
  codes = [1 4 5 6 7 8 10 13];
  names = {'usage', 'closed', 'busy', 'address', 'incompatible', 'protocol', 'lost', 'unauthorized'};
  name = 'ended';
  if any(codes == code)
    name = names{codes == code};
  end
  err = struct('identifier', ['rlay:' name], 'message', message);
end
